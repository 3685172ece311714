"""Studies of classifiers: attacks, occlusion, shifted and unknown images, localisation, transfer, ranking."""
