"""From a trained model to people: prediction and the web page."""
