"""FPN, NAS-FPN, plain convolutions, ViTDet's simple feature pyramid."""
