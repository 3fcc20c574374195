// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <algorithm>
#include <chrono>

#include "cli/output.h"
#include "cli/views.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

constexpr unsigned kPlainStep = 10;

// The first `columns` characters, never within one.
std::string Cut(const std::string& text, size_t columns) {
  size_t seen = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool starts = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (starts && seen++ == columns) return text.substr(0, i);
  }
  return text;
}

}  // namespace

std::string FormatProgress(const ProgressState& state, absl::Duration elapsed, int width) {
  const std::string end = fmt::format("  {:>3}%  {}", state.percent, HumanDuration(elapsed));
  std::string start = Printable(state.title);
  if (!state.stage.empty()) start += ": " + Printable(state.stage);
  // One column stays free: a terminal may go to the next line when the last one is written.
  const size_t room = width > 0 ? static_cast<size_t>(width) - 1 : 0;
  return Cut(start, room > end.size() ? room - end.size() : 0) + end;
}

Progress::Progress(std::ostream& err, Mode mode, int width, const Clock& clock)
    : err_(err), mode_(mode), width_(width), clock_(clock) {
  if (mode_ == Mode::kLive) ticker_ = std::thread([this] { Tick(); });
}

Progress::~Progress() {
  Clear();
  {
    MutexLock lock(mutex_);
    stop_ = true;
    wake_.NotifyAll();
  }
  if (ticker_.joinable()) ticker_.join();
}

void Progress::Update(const ProgressState& state, absl::Duration elapsed) {
  MutexLock lock(mutex_);
  if (mode_ == Mode::kOff) return;
  const bool news = !active_ || state.title != state_.title || state.stage != state_.stage;
  const bool step = state.percent >= state_.percent + kPlainStep ||
                    (state.percent == 100 && state_.percent != 100);
  if (mode_ == Mode::kPlain && !news && !step) return;
  active_ = true;
  state_ = state;
  began_ = clock_.Monotonic() - elapsed;
  Draw();
}

void Progress::Update(const agent::v1::Operation& operation) {
  ProgressState state{
      .title = fmt::format("{} {}", Word(operation.action()), operation.target_id()),
      .stage = operation.stage(),
      .percent = operation.percent()};
  if (operation.undoing()) state.stage = "undoing: " + state.stage;
  Update(state, FromProtoDuration(operation.elapsed()));
}

void Progress::Note(std::string_view text) {
  MutexLock lock(mutex_);
  Erase();
  err_ << "cvmctl: " << Printable(text) << std::endl;
  if (active_ && mode_ == Mode::kLive) Draw();
}

void Progress::Clear() {
  MutexLock lock(mutex_);
  Erase();
  active_ = false;
  state_ = {};
}

void Progress::Tick() {
  MutexLock lock(mutex_);
  while (!stop_) {
    wake_.WaitFor(mutex_, std::chrono::seconds(1));
    if (!stop_ && active_) Draw();
  }
}

void Progress::Draw() {
  const absl::Duration elapsed = clock_.Monotonic() - began_;
  if (mode_ == Mode::kLive) {
    err_ << '\r' << FormatProgress(state_, elapsed, width_) << "\x1b[K" << std::flush;
    drawn_ = true;
  } else {
    err_ << FormatProgress(state_, elapsed, 1000) << std::endl;
  }
}

void Progress::Erase() {
  if (drawn_) err_ << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

}  // namespace cvm::cli
