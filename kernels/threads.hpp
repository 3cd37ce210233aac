// Threads that live as long as one call: no pool, no runtime, nothing that a fork could leave locked.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace half_grid {

// Calls work(worker, i) for every i in [0, n), each once, on up to `threads` threads, this one included. The first
// exception is raised here when all have ended. Where the system gives no more threads, those there are do it.
template <class Work> void in_parallel(int threads, std::int64_t n, const Work& work) {
  std::atomic<std::int64_t> next{0};
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto run = [&](int worker) {
    try {
      for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) work(worker, i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex);
      if (!error) error = std::current_exception();
      next.store(n);
    }
  };
  std::vector<std::thread> others;
  const std::int64_t wanted = threads < n ? threads : n;
  others.reserve(wanted > 1 ? std::size_t(wanted - 1) : 0);
  for (int worker = 1; worker < wanted; ++worker) {
    try {
      others.emplace_back(run, worker);
    } catch (const std::system_error&) {
      break;
    }
  }
  run(0);
  for (std::thread& other : others) other.join();
  if (error) std::rethrow_exception(error);
}

// Memory of one call, 64-byte aligned. The last block is kept for the next call, up to `kept` bytes: fresh pages
// cost more than the work on them. One atomic pointer and no lock, so a fork finds it whole.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) {
    block_ = spare().exchange(nullptr);
    if (block_ && block_->bytes < bytes) {
      release(block_);
      block_ = nullptr;
    }
    if (!block_) {
      if (bytes > SIZE_MAX - 4096) throw std::bad_alloc();
      const std::size_t whole = (bytes + sizeof(Block) + 63) / 64 * 64;
      void* memory = ::operator new(whole, std::align_val_t(alignof(Block)), std::nothrow);
      if (!memory) throw std::bad_alloc();
      block_ = new (memory) Block{bytes};
    }
    next_ = reinterpret_cast<unsigned char*>(block_ + 1);
  }
  ~Scratch() {
    if (block_->bytes <= kept) block_ = spare().exchange(block_);
    release(block_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  unsigned char* take(std::size_t bytes) {
    unsigned char* taken = next_;
    next_ += (bytes + 63) / 64 * 64;
    return taken;
  }

 private:
  struct alignas(64) Block {
    std::size_t bytes;
  };
  static void release(Block* block) { ::operator delete(block, std::align_val_t(alignof(Block))); }
  static constexpr std::size_t kept = std::size_t(64) << 20;
  static std::atomic<Block*>& spare() {
    static std::atomic<Block*> block{nullptr};
    return block;
  }
  Block* block_;
  unsigned char* next_;
};

}  // namespace half_grid
