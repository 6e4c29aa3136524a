"""From a trained model to people: prediction, export, the demo, the model card, and comparing commits."""
