"""What a network is like inside, read from its ONNX graph: `bicameral diagnose`. No torch."""
