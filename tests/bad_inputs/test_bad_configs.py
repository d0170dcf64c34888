"""Configs and options that are misspelt, of a wrong type or contradict the data."""

import pytest

OPTIONS = {
    "a misspelt option": (["percnet=5"], ("percnet", "did you mean 'percent'")),
    "a misspelt key of a section": (["teacher.iterationz=5"], ("iterationz", "'iterations'")),
    "a misspelt section": (["teachers.iterations=5"], ("teachers", "did you mean 'teacher'")),
    "a misspelt key of label": (["label.floors=0.2"], ("'floors'", "floor")),
    "a misspelt key of report": (["report.image_foler=x"], ("'image_foler'", "image_folder")),
    "a key inside a name": (
        ["model.roi_head.mask_head.num_convs=1"],
        ("set mask_head.num_convs instead",),
    ),
    "an unknown name in braces": (["labeled_json={nowhere}"], ("'nowhere' is missing or None",)),
    "a name that refers to itself": (["labeled_json={labeled_json}"], ("refers to itself",)),
    "arithmetic of a text": (
        ["iterations={classes * 2}"],
        ("expected a number for", "classes"),
    ),
    "a division by zero": (["iterations={5 / 0}"], ("division by zero",)),
    "an earlier name of a section": (["supervised.iterations=5"], ("supervised",)),
    "an unknown box threshold": (["label.box_threshold=mtach"], ("box_threshold", "'mtach'")),
    "an unknown pixel threshold": (["label.pixel_threshold=mtach"], ("pixel_threshold", "'mtach'")),
    "a negative floor": (["label.floor=-1"], ("label.floor", "-1")),
    "a floor as text": (["label.floor=low"], ("label.floor", "'low'")),
    "a box threshold of 7": (["label.box_threshold=7"], ("box_threshold", "7")),
    "a pixel threshold of -1": (["label.pixel_threshold=-1"], ("pixel_threshold", "-1")),
    "an overlap of 50": (["label.mask_nms_iou=50"], ("mask_nms_iou", "50")),
    "a dictionary where there is none": (["split.percent=5"], ("split.percent", "cannot be set")),
    "a batch that is too small": (["batch_size=1"], ("batch",)),
    "no batch": (["batch_size=0"], ("batch",)),
    "a batch as text": (["batch_size=many"], ("batch_size", "many")),
    "no iterations": (["iterations=0"], ("iterations", "0")),
    "iterations as text": (["iterations=many"], ("iterations",)),
    "negative iterations of the teacher": (["teacher.iterations=-5"], ("iterations", "-5")),
    "other classes": (["classes=[cat,dog]"], ("cat", "labeled.json")),
    "classes as text": (["classes=star"], ("classes", "star")),
    "a class twice": (["classes=[star,star,gear,crescent,cross]"], ("star",)),
    "too few classes for the heads": (["num_classes=3"], ("num_classes", "3")),
    "too many classes for the heads": (["num_classes=7"], ("num_classes", "7")),
    "a missing teacher": (["teacher.checkpoint=nowhere.pth"], ("nowhere.pth",)),
    "missing weights of the student": (["load_from=nowhere.pth"], ("nowhere.pth", "load_from")),
    "missing labels": (["label.ann_file=nowhere.json"], ("nowhere.json",)),
    "a missing folder": (["val_images=nowhere"], ("nowhere",)),
    "a missing json": (["val_json=nowhere.json"], ("nowhere.json",)),
    "a misspelt key of the backbone": (["model.backbone.depht=18"], ("model", "'depht'")),
    "a depth that is no ResNet's": (["model.backbone.depth=51"], ("stage control: model", "51")),
    "a misspelt optimizer of the student": (
        ["student.optim_wrapper.optimizer.type=AdamV"],
        ("stage student: optim_wrapper.optimizer", "'AdamV'", "Adam"),
    ),
    "a misspelt key of the optimizer": (
        ["optim_wrapper.optimizer.lrr=1"],
        ("optim_wrapper", "'lrr'"),
    ),
    "a negative learning rate": (["optim_wrapper.optimizer.lr=-1"], ("optim_wrapper", "-1")),
    "no accumulation": (["optim_wrapper.accumulative_counts=0"], ("optim_wrapper",)),
    "a misspelt key of a schedule": (["param_scheduler.0.en=5"], ("param_scheduler[0]", "'en'")),
    "schedules as text": (["param_scheduler=[cosine]"], ("stage control", "'str'")),
    "a misspelt hook": (
        ["student.default_hooks.checkpoint.type=ChekpointHook"],
        ("stage student: default_hooks.checkpoint", "did you mean 'CheckpointHook'"),
    ),
    "a misspelt key of a hook": (
        ["default_hooks.checkpoint.intervals=5"],
        ("default_hooks.checkpoint", "'intervals'", "'interval'"),
    ),
    "a hook as text": (["custom_hooks=[EMAHook]"], ("custom_hooks[0]", "'EMAHook'")),
    "an interval as text": (["default_hooks.checkpoint.interval=x"], ("checkpoint.interval", "x")),
    "no interval of validations": (["train_cfg.val_interval=0"], ("train_cfg.val_interval", "0")),
    "a loop by epochs with iterations": (
        ["train_cfg.type=EpochBasedTrainLoop"],
        ("train_cfg", "'max_iters'", "'max_epochs'"),
    ),
    "a key inside a concatenation": (
        ["train_dataloader.dataset.pipeline.0.x=1"],
        ("stage student: train_dataloader.dataset", "'pipeline'"),
    ),
    "a misspelt data set": (
        ["labeled_dataset.type=CocoInstanceDatasett"],
        ("train_dataloader.dataset", "did you mean 'CocoInstanceDataset'"),
    ),
    "no view to predict": (["tta_scales=[]"], ("stage predict", "TestTimeAug", "tta_scales")),
    "no data set": (
        ["train_dataloader.dataset=None"],
        ("train_dataloader has no dataset",),
    ),
    "a misspelt sampler": (
        ["train_dataloader.sampler.type=MultiSourceSamplerr"],
        ("train_dataloader.sampler", "did you mean 'MultiSourceSampler'"),
    ),
    "no labeled images in a batch": (
        ["train_dataloader.sampler.source_ratio=[0,1]"],
        ("source_ratio", "[0, 1]"),
    ),
    "a ratio of three sets": (
        ["train_dataloader.sampler.source_ratio=[1,1,1]", "batch_size=3"],
        ("source_ratio", "[1, 1, 1]"),
    ),
    "only large images": (["labeled_dataset.filter_cfg.min_size=65"], ("labeled.json", "min_size")),
    "a negative seed": (["seed=-1"], ("seed", "-1")),
    "a seed of 33 bits": (["seed=4294967296"], ("seed", "4294967296")),
    "a seed as text": (["seed=x"], ("seed", "'x'")),
    "an unknown log level": (["log_level=LOUD"], ("log_level", "'LOUD'")),
    "a number as a section": (["student=3"], ("tiny.py", "student must be a dictionary")),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(root, name, train):
    options, says = OPTIONS[name]
    refusal = train("--cfg-options", *options)
    assert refusal.status == 1
    for phrase in says:
        assert phrase in refusal.says, refusal.says
    assert "\n" not in refusal.says.strip()


@pytest.mark.parametrize("option", ["seed", "custom_hooks=[dict(type='EMAHook',begin_iter=1)]"])
def test_options_that_cannot_be_read(root, option, train):
    refusal = train("--cfg-options", "seed=1", option)
    assert refusal.status == 2 and f"cannot parse {option!r}; expected KEY=VALUE" in refusal.says


RECORDS = ["", "[1]", "3", '{"finished": true}', '{"stage": "teacher", "finis']


@pytest.mark.parametrize("text", RECORDS)
def test_damaged_records_of_a_stage(root, text, train):
    (root / "run/teacher").mkdir(parents=True)
    (root / "run/teacher/teacher.manifest.json").write_text(text)
    refusal = train()
    assert refusal.status == 1 and "run/teacher/teacher.manifest.json" in refusal.says
    assert "\n" not in refusal.says.strip()


PERCENTS = ["0", "200", "-5", "1", "1e-9", "nan", "inf", "99.99"]


@pytest.mark.parametrize("percent", PERCENTS)
def test_percents(root, percent, tool):
    refusal = tool(
        "prepare_data", "split", "labeled.json", "--percent", float(percent), "--seed", 0
    )
    if percent == "99.99":
        assert refusal.status == 0  # three of four images are labeled
        return
    assert refusal.status == 2 and "percent" in refusal.says


STAGES = {
    "an unknown stage": (["--stages", "teacher,test"], "unknown stages ['test']"),
    "an unknown stage to redo": (["--redo", "test"], "unknown stages ['test']"),
    "an empty stage": (["--stages", ""], "unknown stages ['']"),
}


@pytest.mark.parametrize("name", STAGES)
def test_stages(root, name, train):
    arguments, says = STAGES[name]
    refusal = train(*arguments)
    assert refusal.status == 1 and says in refusal.says, refusal.says


FILES = {
    "no config": (None, "bad.py"),
    "an empty config": ("", "bad.py"),
    "a missing base": ("_base_ = './nowhere.py'", "nowhere.py"),
    "a missing base of MMDetection": ("_base_ = 'mmdet::_base_/nowhere.py'", "nowhere.py"),
    "a syntax error": ("model = dict(", "bad.py"),
    "a config of another program": ("import nowhere", "no dictionary 'model'"),
    "a section that is no dictionary": ("_base_ = './tiny.py'\nteacher = 3", "teacher"),
    "a missing import": (
        "_base_ = './tiny.py'\ncustom_imports = dict(imports=['nowhere'])",
        "nowhere",
    ),
    "imports that are no dictionary": (
        "_base_ = './tiny.py'\ncustom_imports = ['nbseg.register']",
        "custom_imports must be a dictionary",
    ),
}


@pytest.mark.parametrize("tool_name", ["train", "test", "export_onnx", "infer"])
@pytest.mark.parametrize("name", FILES)
def test_files(root, name, tool_name, tool, train):
    text, says = FILES[name]
    if text is not None:
        (root / "bad.py").write_text(text)
    if tool_name == "train":
        refusal = train(config="bad.py")
    else:
        more = {"test": [], "export_onnx": ["--out", "m.onnx"], "infer": ["val", "--out", "out"]}
        refusal = tool(tool_name, "bad.py", "x.pth", *more[tool_name])
    assert refusal.status == 1
    assert says in refusal.says, refusal.says
    assert "Traceback" not in refusal.says
