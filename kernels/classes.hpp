// The table of classes of a call, made from the ids of each class. Only the host compiler sees this file.
#pragma once
#include <vector>

#include "labels.hpp"

namespace half_grid {

class ClassMap {
 public:
  // `codes`: for each class its labels, as their bits in `width` bytes.
  ClassMap(int width, const std::vector<std::vector<u64>>& codes);

  // The table on the host.
  ClassTable table() const;

  // Ids, then members, as they lie one behind the other in the memory of a device.
  std::vector<u8> bytes() const;

  // The bytes of the ids among them; 0 where the code of a label is its row.
  i64 ids_bytes() const { return i64(ids_.size() * sizeof(u64)); }

 private:
  std::vector<u64> ids_;
  std::vector<u32> members_;
  i64 count_;
  int classes_, groups_;
};

}  // namespace half_grid
