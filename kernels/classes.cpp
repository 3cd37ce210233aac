#include "classes.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace half_grid {

ClassMap::ClassMap(int width, const std::vector<std::vector<u64>>& codes)
    : classes_(int(codes.size())), groups_(int((codes.size() + 31) / 32)) {
  if (codes.empty()) throw std::invalid_argument("expected at least one class");
  for (const std::vector<u64>& ids : codes) {
    if (ids.empty()) throw std::invalid_argument("expected at least one id in every class");
    for (const u64 id : ids) {
      if (width < 8 && id >> (8 * width)) throw std::invalid_argument("an id has more bytes than a label");
      if (width > 1) ids_.push_back(id);
    }
  }
  std::sort(ids_.begin(), ids_.end());
  ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
  count_ = width > 1 ? i64(ids_.size()) : 256;
  members_.assign(std::size_t((count_ + 1) * groups_), 0);
  const ClassTable mine = table();
  for (std::size_t c = 0; c < codes.size(); ++c)
    for (const u64 id : codes[c])
      members_[std::size_t(class_row_of(mine, id) * groups_) + c / 32] |= u32(1) << (c % 32);
}

ClassTable ClassMap::table() const {
  return {ids_.empty() ? nullptr : ids_.data(), members_.data(), count_, classes_, groups_};
}

std::vector<u8> ClassMap::bytes() const {
  const std::size_t of_ids = std::size_t(ids_bytes()), of_members = members_.size() * sizeof(u32);
  std::vector<u8> all(of_ids + of_members);
  if (of_ids) std::memcpy(all.data(), ids_.data(), of_ids);
  std::memcpy(all.data() + of_ids, members_.data(), of_members);
  return all;
}

}  // namespace half_grid
