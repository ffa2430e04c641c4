"""The style sheet of the HTML page: light and dark, colours that colour-blind people tell apart (Okabe and Ito)."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --panel: #f6f8fa; --ink: #1f2328; --muted: #59636e; --grid: #d1d9e0;
  --good: #00664a; --good-paper: #dff5ec; --wrong: #a8321c; --wrong-paper: #fdeae5;
  --series0: #0069a8; --series1: #c25100; --series2: #007e5c;
  --series3: #a44a86; --series4: #8a6a00; --series5: #3d4a57;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --panel: #1c2229; --ink: #e8ecf0; --muted: #9aa6b2; --grid: #36404a;
    --good: #5fd3ac; --good-paper: #12352a; --wrong: #ff9b82; --wrong-paper: #43201a;
    --series0: #6cbcf0; --series1: #ff9a4d; --series2: #3fcf9f;
    --series3: #e59bcb; --series4: #e3bd4a; --series5: #b4c0cc;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 66rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .4rem; padding-top: .75rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .4rem 0; max-width: 48rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; margin: 1rem 0 0; padding: 0; }
a { color: var(--series0); }
.verdict {
  display: inline-block; margin: .25rem 0 .5rem; padding: .3rem .8rem; border-radius: .4rem; font-weight: 650;
  color: var(--good); background: var(--good-paper);
}
.verdict.fail { color: var(--wrong); background: var(--wrong-paper); }
.lead, .hint, figcaption, caption { color: var(--muted); }
.failures { margin: .25rem 0; padding-left: 1.2rem; color: var(--wrong); overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .75rem 0 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .35rem; font-size: .9rem; }
th, td { padding: .4rem .75rem; border-bottom: 1px solid var(--grid); text-align: left; vertical-align: top; }
thead th { background: var(--panel); font-weight: 600; border-bottom-width: 2px; white-space: nowrap; }
tbody th { min-width: 5.5rem; font-weight: 600; overflow-wrap: break-word; }
tbody th.number { min-width: 0; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.good { color: var(--good); font-weight: 600; white-space: nowrap; }
td.bad { color: var(--wrong); font-weight: 700; white-space: nowrap; }
.has-detail th, .has-detail td { border-bottom: 0; padding-bottom: .1rem; }
.detail td { padding-top: 0; color: var(--muted); font-size: .85rem; }
.bar {
  display: block; height: .5rem; min-width: 7rem; margin-top: .3rem; border-radius: .25rem; background: var(--grid);
}
.bar span { display: block; height: 100%; border-radius: .25rem; background: var(--series0); }
figure { margin: 1rem 0 1.5rem; }
figure .scroll { margin: 0; }
svg { display: block; width: 100%; min-width: 40rem; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: "DejaVu Sans", Verdana, system-ui, sans-serif; }
figcaption { margin-top: .25rem; font-size: .88rem; max-width: 48rem; }
footer {
  margin-top: 3rem; padding-top: .75rem; border-top: 1px solid var(--grid); color: var(--muted); font-size: .88rem;
}
@media print { nav { display: none; } body { max-width: none; } h2, figure { break-inside: avoid; } }
"""
