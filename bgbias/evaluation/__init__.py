"""How good a trained model is, variant by variant."""
