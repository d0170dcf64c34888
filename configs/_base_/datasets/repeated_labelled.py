# A partly labelled data set as the released code draws it: one shuffled set of the labelled images,
# repeated, and the pseudo-labelled ones, labelled : pseudo-labelled 2 : 1. A batch holds what the
# shuffle gives, so a GPU may take as little as one image at a time.
#
# A config on top sets labelled_images and unlabelled_images: how many there are.
_base_ = './semi_coco_instance.py'

labelled_repeats = '{max(1, round(2 * unlabelled_images / labelled_images))}'
images_per_epoch = '{labelled_repeats * labelled_images + unlabelled_images}'
train_dataloader = dict(
    sampler=dict(_delete_=True, type='InfiniteSampler'),
    dataset=dict(
        datasets=[
            dict(
                type='RepeatDataset',
                times='{labelled_repeats}',
                dataset='{labelled_dataset}'),
            '{pseudo_dataset}',
        ]))
