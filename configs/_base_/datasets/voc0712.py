"""Pascal VOC as mmdet reads it: trained on 2007 and 2012 trainval, measured on 2007 test by the 11 points of 2007.

data_root is VOCdevkit with VOC2007 and VOC2012, as the archives unpack. Recipes set the pipelines.
"""
data_root = "data/VOCdevkit/"

train_dataloader = dict(
    batch_size=8, num_workers=4, persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    # mmdet's own samples know no seed of an epoch: their draws follow from the workers'. Recipes list both years with
    # their pipelines.
    dataset=dict(type="ConcatDataset", ignore_keys=["dataset_type"]))
val_dataloader = dict(
    batch_size=8, num_workers=2, persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="VOCDataset", data_root=data_root, ann_file="VOC2007/ImageSets/Main/test.txt",
                 data_prefix=dict(sub_data_root="VOC2007/"), test_mode=True))
test_dataloader = val_dataloader
val_evaluator = dict(type="VOCMetric", metric="mAP", eval_mode="11points")
test_evaluator = val_evaluator
