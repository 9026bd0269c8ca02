"""Methods: which directions are trained on which objectives, and by which intervention."""
