"""`yard demo`: a real year, once round the whole loop."""
