# A partly labeled data set as the released code draws it: one shuffled set of the labeled images,
# repeated, and the pseudo-labeled ones, labeled : pseudo-labeled 2 : 1. A batch holds what the
# shuffle gives, so a GPU may take as little as one image at a time.
#
# A config on top sets labeled_images and unlabeled_images: how many there are.
_base_ = './semi_coco_instance.py'

labeled_repeats = '{max(1, round(2 * unlabeled_images / labeled_images))}'
images_per_epoch = '{labeled_repeats * labeled_images + unlabeled_images}'
train_dataloader = dict(
    sampler=dict(_delete_=True, type='InfiniteSampler'),
    dataset=dict(
        datasets=[
            dict(
                type='RepeatDataset',
                times='{labeled_repeats}',
                dataset='{labeled_dataset}'),
            '{pseudo_dataset}',
        ]))
