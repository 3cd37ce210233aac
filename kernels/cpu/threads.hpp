// Threads that live as long as one call. There is no pool and no runtime, so a fork can leave nothing locked.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace half_grid {

// The threads of one call. They start when there is work to share for the first time, and end with the call. Nobody
// waits for a thread that starts late, since waking an idle core can take longer than the work; it joins in whatever
// work is left.
class Team {
 public:
  explicit Team(int threads) : threads_(threads) {}
  ~Team() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
      round_.fetch_add(1, std::memory_order_release);
    }
    begun_.notify_all();
    for (std::thread& other : others_) other.join();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Calls work(worker, i) once for every i in [0, n), on up to `threads` threads; the calling thread is worker 0. The
  // first exception is thrown here after all have stopped. Where the system gives no more threads, the existing ones do
  // the work.
  template <class Work> void run(std::int64_t n, const Work& work) {
    if (threads_ < 2 || n < 2) {
      for (std::int64_t i = 0; i < n; ++i) work(0, i);
      return;
    }
    const auto call = [](const void* erased, int worker, std::int64_t i) {
      (*static_cast<const Work*>(erased))(worker, i);
    };
    Shared shared{{0}, n, nullptr, {}, &work, call};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      shared_ = &shared;
      round_.fetch_add(1, std::memory_order_release);
    }
    begun_.notify_all();
    grow(int(threads_ < n ? threads_ : n) - 1);
    shared.take(0);
    std::unique_lock<std::mutex> lock(mutex_);
    shared_ = nullptr;
    done_.wait(lock, [&] { return busy_ == 0; });
    if (shared.error) std::rethrow_exception(shared.error);
  }

 private:
  struct Shared {
    std::atomic<std::int64_t> next;
    std::int64_t n;
    std::exception_ptr error;
    std::mutex error_mutex;
    const void* work;
    void (*call)(const void*, int, std::int64_t);

    void take(int worker) {
      try {
        for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) call(work, worker, i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(error_mutex);
        if (!error) error = std::current_exception();
        next.store(n);
      }
    }
  };

  void grow(int others) {
    while (int(others_.size()) < others) {
      try {
        others_.reserve(std::size_t(others));
        others_.emplace_back(&Team::serve, this, int(others_.size()) + 1);
      } catch (const std::system_error&) { return; }
    }
  }

  void serve(int worker) {
    constexpr int SPINS = 20000;  // about ten microseconds, since the next round mostly begins at once
    int seen = 0;
    for (;;) {
      for (int i = 0; i < SPINS && round_.load(std::memory_order_acquire) == seen; ++i) {}
      std::unique_lock<std::mutex> lock(mutex_);
      begun_.wait(lock, [&] { return round_.load(std::memory_order_relaxed) != seen; });
      if (ended_) return;
      seen = round_.load(std::memory_order_relaxed);
      Shared* shared = shared_;
      if (!shared) continue;
      ++busy_;
      lock.unlock();
      shared->take(worker);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  int threads_;
  std::vector<std::thread> others_;
  std::mutex mutex_;
  std::condition_variable begun_, done_;
  std::atomic<int> round_{0};
  Shared* shared_ = nullptr;  // the work that is being shared; null between rounds
  int busy_ = 0;              // other threads at work on it
  bool ended_ = false;
};

// Thrown where memory cannot be allocated; says how much was asked for.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::size_t bytes) {
    std::snprintf(text_, sizeof text_, "%zu bytes of scratch memory were asked for", bytes);
  }
  const char* what() const noexcept override { return text_; }

 private:
  char text_[64];
};

// The memory of one call, aligned to 64 bytes. A few blocks, of `kept` bytes in all, are kept for the next calls,
// because fresh pages cost more than the work on them. Several threads may call at the same time; each takes a block of
// its own. The blocks are held by atomic pointers and no lock, so a fork always finds them in a valid state.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) {
    for (std::atomic<Block*>& spare : spares())
      if ((block_ = spare.exchange(nullptr))) break;
    if (block_ && block_->bytes < bytes) {
      release(block_);
      block_ = nullptr;
    }
    if (!block_) {
      if (bytes > SIZE_MAX - 4096) throw OutOfMemory(bytes);
      const std::size_t whole = (bytes + sizeof(Block) + 63) / 64 * 64;
      void* memory = ::operator new(whole, std::align_val_t(alignof(Block)), std::nothrow);
      if (!memory) throw OutOfMemory(bytes);
      block_ = new (memory) Block{bytes};
    }
    next_ = reinterpret_cast<unsigned char*>(block_ + 1);
  }
  ~Scratch() {
    if (block_->bytes <= kept / places)
      for (std::atomic<Block*>& spare : spares()) {
        Block* none = nullptr;
        if (spare.compare_exchange_strong(none, block_)) return;
      }
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
  struct alignas(64) Block { std::size_t bytes; };
  static void release(Block* block) { ::operator delete(block, std::align_val_t(alignof(Block))); }
  static constexpr int places = 4;
  static constexpr std::size_t kept = std::size_t(256) << 20;
  typedef std::atomic<Block*> Spares[places];
  static Spares& spares() {
    static Spares blocks{};
    return blocks;
  }
  Block* block_;
  unsigned char* next_;
};

}  // namespace half_grid
