"""Draw detections on their images, and write the pictures to files, without PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from nbseg.coco_masks import decode_crop
from nbseg.deploy.detections import Detections
from nbseg.deploy.inputs import frame_rate, is_video
from nbseg.image_names import opencv_path
from nbseg.image_options import Image
from nbseg.images import write_image
from nbseg.tiff_colors import as_bgr
from nbseg.visualization.colors import PALETTE
from nbseg.visualization.drawing import draw_mask, draw_text


def draw_detections(
    image: Image, detections: Detections, classes: Sequence[str], min_score: float
) -> Image:
    """Return a copy of the image on which each detection's mask, class and score are drawn.

    Args:
        image: (H, W, C) uint8; :func:`as_picture` says which channels are shown.
        detections: detections of this image.
        classes: class names in the order of the labels.
        min_score: detections with a lower score are not drawn.

    Returns:
        (H, W, 3) uint8 in BGR order.
    """
    canvas = as_picture(image)
    # Draw in ascending order of score, so that detections with higher scores are on top.
    order = [i for i in np.argsort(detections.scores) if detections.scores[i] >= min_score]
    for index in order:
        mask, (top, _, left, _) = decode_crop(detections.rles[index])
        color = PALETTE[detections.labels[index] % len(PALETTE)]
        draw_mask(canvas, mask.view(np.uint8), color, opacity=0.4, corner=(left, top))
    for index in order:
        text = f"{classes[detections.labels[index]]} {detections.scores[index]:.2f}"
        x, y = detections.boxes[index, :2]
        draw_text(canvas, text, (round(float(x)), max(round(float(y)), 11)), scale=0.4)
    return canvas


def as_picture(image: Image) -> Image:
    """Return a copy of an image (H, W, C) as a picture (H, W, 3) in BGR order.

    If C is 3, the image already is in BGR order. If C is greater than 3, the first three channels
    become red, green and blue. If C is 1 or 2, the first channel becomes gray.
    """
    if image.shape[2] == 3:
        return image.copy()
    rgb = image[..., :3] if image.shape[2] > 3 else image[..., :1]
    return as_bgr(np.ascontiguousarray(rgb))


class PictureFolder:
    """Draws detections, and writes a JPEG for each image and an MP4 for each video.

    Call ``close`` after the last frame of the last video.

    Args:
        folder: folder to write to; created if missing. An output file has the name of the input
            file, with the suffix ``.jpg`` or ``.mp4``. If two input files would get the same output
            file, a number is appended to the second name, as in ``cat-2.jpg``. Output files of
            earlier runs are replaced.
        classes: class names in the order of the labels.
        min_score: detections with a lower score are not drawn.
    """

    def __init__(self, folder: Path, classes: Sequence[str], min_score: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._classes = classes
        self._min_score = min_score
        self._taken: set[Path] = set()
        self._video: cv2.VideoWriter | None = None
        self._video_source: Path | None = None

    def add(self, source: Path, image: Image, detections: Detections) -> None:
        """Draw the detections of an image or of a video's next frame, and write the picture.

        Args:
            source: path of the image or video file.
            image: the image or frame, (H, W, 3) uint8 in BGR order.
            detections: detections of this image or frame.

        Raises:
            OSError: the picture of an image cannot be written, or OpenCV cannot create a video
                file. An error while OpenCV writes a later frame of the video is not reported.
            ValueError: the path of a video is not UTF-8.
        """
        picture = draw_detections(image, detections, self._classes, self._min_score)
        if not is_video(source):
            write_image(self._path(source, ".jpg"), picture)
            return
        if self._video is None or self._video_source != source:
            self.close()
            path = self._path(source, ".mp4")
            height, width = picture.shape[:2]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._video = cv2.VideoWriter(
                opencv_path(path), code, frame_rate(source), (width, height)
            )
            if not self._video.isOpened():
                raise OSError(
                    f"OpenCV cannot create the video {path}; choose another output folder"
                )
            self._video_source = source
        self._video.write(picture)

    def close(self) -> None:
        """Finish writing the current video, if there is one."""
        if self._video is not None:
            self._video.release()
            self._video = None

    def _path(self, source: Path, suffix: str) -> Path:
        path = self._folder / f"{source.stem}{suffix}"
        number = 1
        while path in self._taken:
            number += 1
            path = self._folder / f"{source.stem}-{number}{suffix}"
        self._taken.add(path)
        return path
