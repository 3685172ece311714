"""Where backbones come from: timm, torchvision, mmdet and own networks, with weights and licence."""
