"""LVIS v0.5 and v1 (arXiv 1908.03195) on the COCO reader: images by ``coco_url``, frequency groups, federated lists.

Nothing of lvis-api is needed. It refuses a json whose categories have neither ``frequency`` nor ``image_count``,
federated lists that are none, and all that :class:`~frozen_det.datasets.coco.CocoDataset` refuses.
"""

from pathlib import PurePosixPath
from urllib.parse import urlparse

from ..errors import InputError
from ..evaluation.accumulated import frequency_group
from ..evaluation.truth_check import FEDERATED_LISTS
from ..registry import DATASETS
from .coco import CocoDataset


@DATASETS.register_module()
class LVISDataset(CocoDataset):
    """LVIS annotations over COCO's images.

    An image's file is the end of its ``coco_url`` (``train2017/000000391895.jpg``), or its ``file_name`` where there
    is no url, below ``data_prefix`` (by default ``data_root`` itself). ``metainfo`` has, besides ``classes``, their
    ``frequency`` groups ('r', 'c', 'f') in label order. Every sample has ``neg_category_ids`` and
    ``not_exhaustive_category_ids`` **as labels**, None where the json lacks them: put them and ``instances`` into
    ``meta_keys`` of PackDetInputs to evaluate by :class:`~frozen_det.evaluation.LVISMetric` without an annotation file.

    Args:
        ann_file, data_root, data_prefix, classes_from, filter_cfg, pipeline and others: As in CocoDataset.

    Raises:
        InputError: Where data or arguments do not fit.
    """

    IMAGE_NAME_KEYS = ("coco_url", "file_name")

    def __init__(self, ann_file: str = "", *, data_prefix: dict | None = None, **kwargs) -> None:
        super().__init__(ann_file, data_prefix=data_prefix or {"img": ""}, **kwargs)

    def image_name(self, image: dict) -> str:
        """The last folder and the name of ``coco_url``, else ``file_name``."""
        if image.get("coco_url"):
            return str(PurePosixPath(*PurePosixPath(urlparse(image["coco_url"]).path).parts[-2:]))
        return image["file_name"]

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """The dict of CocoDataset with the federated lists as labels."""
        data_info = super().parse_data_info(raw_data_info)
        kinds = set(map(type, self.cat2label))
        for name in FEDERATED_LISTS:
            listed = raw_data_info["raw_img_info"].get(name)  # None: unknown, which LVISMetric refuses
            if listed is not None and not (type(listed) is list and kinds.issuperset(map(type, listed))):
                raise InputError(
                    f"{self.ann_file}: expected a list of category ids as {name} of image "
                    f"{raw_data_info['raw_img_info']['id']!r}, got {listed!r:.60}; correct it."
                )
            data_info[name] = (
                listed
                if listed is None
                else sorted(self.cat2label[category] for category in listed if category in self.cat2label)
            )
        return data_info

    def _set_classes(self) -> None:
        super()._set_classes()
        groups = {category["name"]: self._group(category) for category in self._read()["categories"]}
        # A class that only the training json lists has no group in this one.
        self._metainfo["frequency"] = tuple(groups.get(name) for name in self._metainfo["classes"])

    def _group(self, category: dict) -> str:
        group = frequency_group(category)
        if group is None:
            raise InputError(
                f"{self.ann_file}: category {category['name']!r}: expected frequency 'r', 'c' or 'f', or image_count "
                f"as a whole number, got frequency {category.get('frequency')!r} and image_count "
                f"{category.get('image_count')!r}; take frozen_det.CocoDataset for data without frequency groups."
            )
        return group
