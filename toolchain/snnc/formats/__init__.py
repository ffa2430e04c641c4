"""Files in and out. The only place where onnx is imported: onnx_file writes and reads, onnx_run executes."""
