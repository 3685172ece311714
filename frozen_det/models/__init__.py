"""The models of frozen_det: bodies, frozen backbones, decoders and heads. Importing it registers them."""
