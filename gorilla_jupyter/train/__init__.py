"""Making the embedded model: instructions, training, export."""
