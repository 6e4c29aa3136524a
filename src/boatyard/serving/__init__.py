"""Using a trained model: prediction and the web page."""
