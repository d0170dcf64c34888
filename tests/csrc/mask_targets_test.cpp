#include "mask_targets.h"

#include <stdexcept>

#include "check.h"
#include "mask_targets_math.h"

using namespace nbseg;

namespace {

void samples_lie_where_roi_align_puts_them() {
  // The box [2, 8] has 2 bins of 3 pixels: samples half a pixel apart from the edges, at 2, 3, 4
  // and 5, 6, 7 in coordinates where pixel k has its center at k.
  const AxisBins bins = axis_bins(2, 8, 100, 2);
  CHECK(bins.start == 1.5f && bins.bin == 3.0f && bins.samples == 3);
  CHECK(axis_sample(bins, 0, 0, 100).pixel == 2 && axis_sample(bins, 0, 0, 100).weight == 1);
  CHECK(axis_sample(bins, 1, 2, 100).pixel == 7);
  // Beyond the ends of the axis, the end pixels repeat.
  const AxisBins wide = axis_bins(-50, 3, 3, 6);
  CHECK(wide.start == -0.5f && wide.bin == 0.5f && wide.samples == 1);
  CHECK(axis_sample(wide, 0, 0, 3).pixel == 0 && axis_sample(wide, 0, 0, 3).next_weight == 0);
  CHECK(axis_sample(wide, 1, 0, 3).weight == 0.75f);
  CHECK(axis_sample(wide, 5, 0, 3).pixel == 2 && axis_sample(wide, 5, 0, 3).next_weight == 0);
  // A box off the axis has no samples.
  CHECK(axis_bins(10, 20, 5, 2).samples == 0);
}

struct Example {
  // A 4 x 6 image; its one mask is the 2 x 3 crop at (2, 1) without that crop's first pixel.
  std::vector<uint8_t> bits{0b110, 0b111};
  std::vector<int64_t> starts{0};
  std::vector<int32_t> crops{2, 1, 3, 2};
  std::vector<float> boxes{1, 1, 5, 3};
  std::vector<int64_t> gt_inds{0};
  std::vector<uint8_t> target = std::vector<uint8_t>(16, 9);

  void run() {
    MaskTargetsParams params{
        bits.data(), starts.data(), crops.data(),   boxes.data(), gt_inds.data(), 2, 1, 1, 4,
        6,           {4},           {target.data()}};
    mask_targets_cpu(params, [](int64_t count, const std::function<void(int64_t, int64_t)>& body) {
      body(0, count);
    });
  }
};

void a_box_on_the_pixel_grid_reads_pixels() {
  Example example;
  example.boxes = {1, 0, 5, 4};  // 4 x 4 bins of one pixel
  example.run();
  CHECK((example.target == std::vector<uint8_t>{0, 0, 0, 0,  //
                                                0, 0, 1, 1,  //
                                                0, 1, 1, 1,  //
                                                0, 0, 0, 0}));
}

template <typename Error>
void refuses(Example example) {
  try {
    example.run();
  } catch (const Error&) {
    return;
  }
  CHECK(!"an error was expected");
}

void wrong_values_are_refused() {
  Example example;
  example.gt_inds = {1};
  refuses<std::out_of_range>(example);
  example = Example();
  example.boxes = {5, 1, 1, 3};
  refuses<std::invalid_argument>(example);
  example = Example();
  example.crops = {4, 1, 3, 2};  // reaches past the image
  refuses<std::invalid_argument>(example);
  example = Example();
  example.starts = {1};  // reaches past the bits
  refuses<std::invalid_argument>(example);
}

}  // namespace

int main() {
  samples_lie_where_roi_align_puts_them();
  a_box_on_the_pixel_grid_reads_pixels();
  wrong_values_are_refused();
}
