"""What differs between hosts: torch and mmengine versions, ops that mmcv was not compiled with, signatures."""
