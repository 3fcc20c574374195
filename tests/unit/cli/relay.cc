// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cli/relay.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace cvm::cli {
namespace {

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
  return address;
}

// One read's worth; false at the end of the connection.
bool Forward(int from, int to) {
  char buffer[16384];
  const ssize_t got = read(from, buffer, sizeof(buffer));
  if (got <= 0) return false;
  for (ssize_t done = 0; done < got;) {
    const ssize_t sent = send(to, buffer + done, static_cast<size_t>(got - done), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    done += sent;
  }
  return true;
}

}  // namespace

Relay::Relay(std::string path, std::string server_path)
    : path_(std::move(path)), server_path_(std::move(server_path)), wake_(eventfd(0, EFD_CLOEXEC)) {
  listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = AddressOf(path_);
  if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener_.get(), 16) != 0) {
    perror(path_.c_str());
    std::abort();
  }
  thread_ = std::thread([this] { Loop(); });
}

Relay::~Relay() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    eventfd_write(wake_.get(), 1);
  }
  thread_.join();
}

void Relay::Cut() {
  MutexLock lock(mutex_);
  pairs_.clear();
  eventfd_write(wake_.get(), 1);
}

void Relay::Close() {
  MutexLock lock(mutex_);
  listener_.Reset();
  unlink(path_.c_str());
  pairs_.clear();
  eventfd_write(wake_.get(), 1);
}

void Relay::Loop() {
  while (true) {
    std::vector<pollfd> entries;
    {
      MutexLock lock(mutex_);
      if (stop_) return;
      // poll() ignores a negative descriptor.
      entries.push_back({.fd = wake_.get(), .events = POLLIN, .revents = 0});
      entries.push_back({.fd = listener_.get(), .events = POLLIN, .revents = 0});
      for (const Pair& pair : pairs_) {
        entries.push_back({.fd = pair.client.get(), .events = POLLIN, .revents = 0});
        entries.push_back({.fd = pair.server.get(), .events = POLLIN, .revents = 0});
      }
    }
    if (poll(entries.data(), entries.size(), -1) < 0) continue;
    MutexLock lock(mutex_);
    if (entries[0].revents != 0) {
      // What was cut is closed: look at what there is now.
      eventfd_t count = 0;
      eventfd_read(wake_.get(), &count);
      continue;
    }
    std::vector<Pair> kept;
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const int client = pairs_[i].client.get();
      const int server = pairs_[i].server.get();
      const bool alive = (entries[2 + 2 * i].revents == 0 || Forward(client, server)) &&
                         (entries[3 + 2 * i].revents == 0 || Forward(server, client));
      if (alive) kept.push_back(std::move(pairs_[i]));
    }
    pairs_ = std::move(kept);
    if (entries[1].revents != 0) {
      Pair pair{.client = UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)),
                .server = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
      const sockaddr_un address = AddressOf(server_path_);
      if (pair.client && connect(pair.server.get(), reinterpret_cast<const sockaddr*>(&address),
                                 sizeof(address)) == 0) {
        pairs_.push_back(std::move(pair));
      }
    }
  }
}

}  // namespace cvm::cli
