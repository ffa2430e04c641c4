"""Files in and out. Only here are onnx and h5py imported: onnx_file writes and reads, nir_file reads."""
