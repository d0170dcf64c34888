# Cityscapes with part of its fine labels, trained as in the released code of the Noisy Boundaries
# paper. A derived config adds the model.
_base_ = [
    './datasets/semi_cityscapes_instance.py',
    './schedules/steps.py',
    './tta_cityscapes.py',
    './default_runtime.py',
]

percent = 20
labeled_images = '{int(2975 * percent / 100)}'
unlabeled_images = '{2975 - labeled_images}'

# batch_size is the number of images per GPU and iteration; with eight GPUs, set batch_size=1.
batch_size = 8
total_batch_size = 8
num_workers = 4
optim_wrapper = dict(optimizer=dict(lr=0.01))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000))

# At 20%, the released code trains the student for eight epochs that have every image three times.
# This equals 24 epochs with each labeled image eight times and each pseudo-labeled image once. The
# teacher trains for 64 epochs of the labeled images.
epochs = 24
iterations = '{round(epochs * images_per_epoch / total_batch_size)}'
teacher = dict(iterations='{round(64 * labeled_images / total_batch_size)}')
