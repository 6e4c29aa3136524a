"""A model as one ONNX file, preprocessing inside, checked against the model on real photos."""
