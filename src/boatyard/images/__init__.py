"""From a photo's file to what a network sees of it: decoding, the plain view, random views."""
