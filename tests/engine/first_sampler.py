"""A sampler that draws nothing, so that several processes can equal one."""

from mmdet.models.task_modules.samplers import BaseSampler
from mmdet.registry import TASK_UTILS


@TASK_UTILS.register_module()
class FirstSampler(BaseSampler):
    """The first candidates in place of drawn ones: every process draws for itself."""

    def _sample_pos(self, assign_result, num_expected, **kwargs):
        return (assign_result.gt_inds > 0).nonzero().squeeze(1)[:num_expected]

    def _sample_neg(self, assign_result, num_expected, **kwargs):
        return (assign_result.gt_inds == 0).nonzero().squeeze(1)[:num_expected]
