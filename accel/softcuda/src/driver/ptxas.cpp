#include "ptxas.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

extern char** environ;

namespace softcuda {
namespace {

constexpr int kMostMilliseconds = 20'000;

// A file descriptor that is closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close_now(); }
  void close_now() {
    if (number_ >= 0) close(number_);
    number_ = -1;
  }
  int number() const { return number_; }

 private:
  int number_;
};

// What comes out of the pipe until it ends; false if that takes too long.
bool read_all(int pipe, std::string& text) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(kMostMilliseconds);
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    pollfd one = {pipe, POLLIN, 0};
    if (left.count() <= 0 || poll(&one, 1, static_cast<int>(left.count())) == 0) return false;
    char buffer[4096];
    const ssize_t got = read(pipe, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    text.append(buffer, static_cast<size_t>(got));
  }
}

// The environment of this process but for what is preloaded into it, which is softcuda and may be a
// sanitizer: ptxas is to be neither slowed nor ended by them.
std::vector<char*> own_environment() {
  const char preloaded[] = "LD_PRELOAD=";
  std::vector<char*> result;
  for (char** one = environ; *one != nullptr; ++one) {
    if (std::strncmp(*one, preloaded, sizeof preloaded - 1) != 0) result.push_back(*one);
  }
  result.push_back(nullptr);
  return result;
}

// Run it with its input and output in memory. The error that it ended in, or an empty text.
std::string run(const std::string& program, const std::string& ptx, const std::string& architecture,
                std::string& output) {
  const Descriptor input(memfd_create("softcuda.ptx", MFD_CLOEXEC));
  int ends[2];
  if (input.number() < 0 || pipe2(ends, O_CLOEXEC) != 0) return std::strerror(errno);
  const Descriptor from(ends[0]);
  Descriptor to(ends[1]);
  for (size_t done = 0; done < ptx.size();) {
    const ssize_t wrote = write(input.number(), ptx.data() + done, ptx.size() - done);
    if (wrote <= 0) return std::strerror(errno);
    done += static_cast<size_t>(wrote);
  }
  const std::string arch = "-arch=" + architecture;
  const char* arguments[] = {program.c_str(), "-v",   arch.c_str(), "/dev/stdin", "-o",
                             "/dev/null",     nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.number(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, to.number(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, to.number(), STDERR_FILENO);
  pid_t child = 0;
  const int failed = posix_spawn(&child, program.c_str(), &actions, nullptr,
                                 const_cast<char**>(arguments), own_environment().data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return std::strerror(failed);
  to.close_now();
  const bool is_in_time = read_all(from.number(), output);
  if (!is_in_time) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!is_in_time) return "it took more than " + std::to_string(kMostMilliseconds / 1000) + " s";
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  return output.empty() ? "it failed" : output.substr(0, output.find('\n'));
}

// "Compiling entry function 'k' for 'sm_86'" and, later, "Used 14 registers, ...".
std::map<std::string, int> registers_in(const std::string& output) {
  const std::string compiling = "Compiling entry function '", used = "Used ";
  std::map<std::string, int> result;
  std::string kernel;
  for (size_t at = 0; at < output.size();) {
    const size_t end = std::min(output.find('\n', at), output.size());
    const std::string line = output.substr(at, end - at);
    at = end + 1;
    const size_t name = line.find(compiling), count = line.find(used);
    if (name != std::string::npos) {
      const size_t first = name + compiling.size();
      kernel = line.substr(first, line.find('\'', first) - first);
    } else if (count != std::string::npos && !kernel.empty()) {
      result[kernel] = std::atoi(line.c_str() + count + used.size());
      kernel.clear();
    }
  }
  return result;
}

}  // namespace

std::map<std::string, int> registers_by_ptxas(const std::string& program, const std::string& ptx,
                                              const std::string& architecture) {
  std::string output;
  const std::string error = run(program, ptx, architecture, output);
  if (!error.empty()) {
    std::fprintf(stderr, "softcuda: %s: %s; registers are estimated\n", program.c_str(),
                 error.c_str());
    return {};
  }
  return registers_in(output);
}

}  // namespace softcuda
