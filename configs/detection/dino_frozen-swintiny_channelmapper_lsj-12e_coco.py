"""DINO-4scale on a frozen Swin-T (arXiv 2103.14030): 12 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which has no such decoder. expected: not published. Not run on COCO here; one step on random weights
is tested. A fine-tuned ResNet-50 gives 49.0 box AP in 12 epochs at 800 px (DINO, arXiv 2203.03605).
Maps are padded to whole windows of 7 inside the backbone. The weights are under the MIT licence.
    frozen-det train dino_frozen-swintiny_channelmapper_lsj-12e_coco
"""
_base_ = "./dino_frozen-resnet50tv_channelmapper_lsj-12e_coco.py"

model = dict(detector=dict(backbone=dict(
    body=dict(type="timm", name="swin_tiny_patch4_window7_224.ms_in1k"), weights="timm")))
