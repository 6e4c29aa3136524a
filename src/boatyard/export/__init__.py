"""A model as one ONNX file with its preprocessing, checked against the model on real photos."""
