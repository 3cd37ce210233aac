// The threads of a call and its memory. Threads stay between calls (pool.cpp); there is no other runtime.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <mutex>
#include <new>
#include <vector>

namespace half_grid {

// The numbers [0, n), shared by the workers of a team. Each takes from a range of its own first, so that what it writes
// and reads in one pass after another stays in the caches of its core, and then from the ranges of others: parts that
// become smaller towards the end.
class Ranges {
 public:
  Ranges(std::int64_t n, int workers) : ranges_(std::size_t(workers)) {
    for (int k = 0; k < workers; ++k) {
      ranges_[std::size_t(k)].next.store(n * k / workers, std::memory_order_relaxed);
      ranges_[std::size_t(k)].end = n * (k + 1) / workers;
    }
  }

  // With `singly`, a worker has taken no other number while it uses one; who finds none left sees all that was done
  // before the last ones were taken.
  template <class Use> void take(int worker, const Use& use, bool singly = false) {
    const std::size_t count = ranges_.size();
    for (std::size_t k = 0; k < count; ++k) {
      Range& from = ranges_[(std::size_t(worker) + k) % count];
      for (std::int64_t i; (i = from.next.load(std::memory_order_acquire)) < from.end;) {
        const std::int64_t part = singly ? 1 : (from.end - i) / 16 + 1;
        i = from.next.fetch_add(part, std::memory_order_acq_rel);
        for (const std::int64_t end = i + part < from.end ? i + part : from.end; i < end; ++i) use(i);
      }
    }
  }

  void stop() {
    for (Range& range : ranges_) range.next.store(range.end, std::memory_order_relaxed);
  }

 private:
  struct alignas(64) Range {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  std::vector<Range> ranges_;
};

struct Worker;  // a thread of the pool

// The threads of one call. They are lent by the pool when there is work to share for the first time, and go back with
// the end of the call. Nobody waits for a thread that comes late, since waking an idle core can take longer than the
// work; it joins in whatever work is left. What several threads write lies in cache lines of its own: here and there a
// line takes half a microsecond from core to core.
class alignas(64) Team {
 public:
  explicit Team(int threads) : threads_(threads) {}
  ~Team();
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
    const auto one = [](const void* erased, int worker, std::int64_t i) {
      (*static_cast<const Work*>(erased))(worker, i);
    };
    const int workers = int(threads_ < n ? threads_ : n);
    Shared shared{&work, one, Ranges(n, workers), nullptr, {}};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      shared_ = &shared;
      round_.fetch_add(1, std::memory_order_release);
    }
    call(workers - 1);
    shared.take(0);
    settle();
    if (shared.error) std::rethrow_exception(shared.error);
  }

 private:
  static constexpr int SPINS = 20000;  // about ten microseconds, since the next round mostly begins at once

  struct Shared {
    const void* const work;
    void (*const call)(const void*, int, std::int64_t);
    Ranges ranges;
    std::exception_ptr error;
    std::mutex error_mutex;

    void take(int worker) {
      try {
        ranges.take(worker, [&](std::int64_t i) { call(work, worker, i); });
      } catch (...) {
        const std::lock_guard<std::mutex> lock(error_mutex);
        if (!error) error = std::current_exception();
        ranges.stop();
      }
    }
  };

  static void live(Worker* worker);  // what a thread of the pool does until it ends
  void call(int others);
  void serve(Worker& worker);
  void settle();

  int threads_;
  std::vector<Worker*> lent_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::atomic<int> round_{0};
  Shared* shared_ = nullptr;  // the work that is being shared; null between rounds
  std::atomic<int> busy_{0};  // other threads at work on it
  bool ended_ = false;
  std::atomic<int> inside_{0};  // threads that serve; they come and go under the mutex of the pool
  std::condition_variable left_;
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
