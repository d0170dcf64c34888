# A partly labeled data set, sampled as in the released code of the Noisy Boundaries paper: the
# labeled images are repeated until labeled : pseudo-labeled is 2 : 1, and all images are shuffled
# together. A batch can have any mix of labeled and pseudo-labeled images, so batch_size can be 1.
#
# A derived config sets labeled_images and unlabeled_images, the numbers of images.
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
