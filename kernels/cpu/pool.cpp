// The threads that stay between calls, and what a team does with them.
//
// All of it is guarded by the mutex of the pool, which nobody holds while a volume is searched. The pool is never
// destroyed: its threads may wait in it until the process has ended. They are no concern of Python's: they never touch
// an object of the interpreter, and nobody waits for them at its end.
#include <csignal>
#include <new>
#include <system_error>
#include <thread>

#include "threads.hpp"

#if defined(__unix__) || defined(__APPLE__)
#define HALF_GRID_FORKS
#include <pthread.h>
#endif

namespace half_grid {

// A thread of the pool: idle, or lent to a team. All of it is guarded by the mutex of the pool, but for `seen` while the
// thread serves.
struct Worker {
  std::thread thread;
  std::condition_variable wake;
  Team* team = nullptr;  // to which it is lent
  int number = 0;        // in that team
  int seen = 0;          // the last round of the team that it knows of
  bool serving = false;  // it is awake, and in the team
  enum { STAYS, IS_JOINED, IS_ALONE } end = STAYS;
  Worker* next = nullptr;  // in the list of idle ones
};

namespace {

struct Pool {
  std::mutex mutex;
  Worker* idle = nullptr;  // the one that was busy last comes first, since its core is the most likely to be awake
  int count = 0;           // of idle ones
  int most = 0;            // that one call has asked for so far; no more are kept

  void rest(Worker* worker) {
    worker->team = nullptr;
    if (count == most) {
      worker->end = Worker::IS_ALONE;
      worker->thread.detach();
      worker->wake.notify_one();
      return;
    }
    worker->next = idle;
    idle = worker;
    ++count;
  }
};

Pool& pool();

#if defined(HALF_GRID_FORKS)
// A forked child has none of these threads. Idle ones end before a fork, so that it does not find a process with
// threads which nobody needs; those at work for another thread's call go on in the parent. The child begins with a new
// pool, whatever state the old one was in: its mutex may have been held.
void before_fork() {
  Worker* idle;
  {
    const std::lock_guard<std::mutex> lock(pool().mutex);
    idle = pool().idle;
    pool().idle = nullptr;
    pool().count = 0;
    for (Worker* worker = idle; worker; worker = worker->next) {
      worker->end = Worker::IS_JOINED;
      worker->wake.notify_one();
    }
  }
  while (idle) {
    Worker* const worker = idle;
    idle = worker->next;
    worker->thread.join();
    delete worker;
  }
}

void in_child() { new (&pool()) Pool; }

// Signals are for the threads of the application, but for those that a thread causes itself.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, own);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};
#else
struct SignalsBlocked {};
#endif

Pool& pool() {
  alignas(Pool) static unsigned char memory[sizeof(Pool)];
  static Pool* const made = [] {
#if defined(HALF_GRID_FORKS)
    pthread_atfork(before_fork, nullptr, in_child);
#endif
    return new (memory) Pool;
  }();
  return *made;
}

}  // namespace

void Team::live(Worker* worker) {
  std::unique_lock<std::mutex> lock(pool().mutex);
  for (;;) {
    worker->wake.wait(lock, [&] {
      return worker->end != Worker::STAYS || (worker->team && worker->team->round_.load() != worker->seen);
    });
    if (worker->end != Worker::STAYS) break;
    Team* const team = worker->team;
    worker->serving = true;
    team->inside_.fetch_add(1);
    lock.unlock();
    team->serve(*worker);
    lock.lock();
    worker->serving = false;
    if (team->inside_.fetch_sub(1) == 1) team->left_.notify_one();
  }
  if (worker->end == Worker::IS_ALONE) delete worker;
}

void Team::serve(Worker& worker) {
  for (;;) {
    for (int i = 0; round_.load(std::memory_order_acquire) == worker.seen; ++i)
      if (i == SPINS) return;  // asleep it waits in the pool, where the end of the team need not wake it
    std::unique_lock<std::mutex> lock(mutex_);
    worker.seen = round_.load();
    if (ended_) return;
    Shared* const shared = shared_;
    if (!shared) continue;
    busy_.fetch_add(1);
    lock.unlock();
    shared->take(worker.number);
    lock.lock();
    const bool last = busy_.fetch_sub(1) == 1;
    lock.unlock();
    if (last) done_.notify_one();
  }
}

// Takes idle threads, or starts new ones, until there are `others`, and wakes those that sleep.
void Team::call(int others) {
  std::vector<Worker*> asleep;
  asleep.reserve(std::size_t(others));
  lent_.reserve(std::size_t(others));
  {
    Pool& all = pool();
    const std::lock_guard<std::mutex> lock(all.mutex);
    if (all.most < others) all.most = others;
    for (Worker* worker : lent_)
      if (!worker->serving) asleep.push_back(worker);
    while (int(lent_.size()) < others) {
      Worker* worker = all.idle;
      if (worker) {
        all.idle = worker->next;
        --all.count;
        asleep.push_back(worker);
      } else {
        worker = new Worker;
        try {
          const SignalsBlocked blocked;
          worker->thread = std::thread(&Team::live, worker);
        } catch (const std::system_error&) {
          delete worker;
          break;
        }
      }
      worker->team = this;
      worker->number = int(lent_.size()) + 1;
      worker->seen = 0;
      lent_.push_back(worker);
    }
  }
  // Not under the mutex, which is the first thing that a thread takes when it wakes.
  for (Worker* worker : asleep) worker->wake.notify_one();
}

// Waits until nobody works on what was shared.
void Team::settle() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    shared_ = nullptr;
  }
  for (int i = 0; i < SPINS && busy_.load(std::memory_order_acquire); ++i) {}
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, [&] { return busy_.load() == 0; });
}

Team::~Team() {
  if (lent_.empty()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
    round_.fetch_add(1);
  }
  for (int i = 0; i < SPINS && inside_.load(); ++i) {}
  std::unique_lock<std::mutex> lock(pool().mutex);
  left_.wait(lock, [&] { return inside_.load() == 0; });
  for (Worker* worker : lent_) pool().rest(worker);
}

}  // namespace half_grid
