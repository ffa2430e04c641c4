"""Reports: text for terminals, JSON, JUnit XML and one self-contained HTML page. Only here is matplotlib imported."""
