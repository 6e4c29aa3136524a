"""Networks: backbones, heads, the model file, ONNX graphs, and the engines that run networks."""
