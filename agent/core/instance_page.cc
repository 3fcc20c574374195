// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_page.h"

#include "common/clock.h"
#include "cvm/agent/v1/instance_service.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"

namespace cvm::agent::core {
namespace {

using google::protobuf::internal::WireFormatLite;

constexpr uint32_t kInstanceTag = WireFormatLite::MakeTag(
    v1::ListInstancesResponse::kInstancesFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
// A tag and a length before each instance; the fields after the last one.
constexpr size_t kFramingBytes = 6;
constexpr size_t kRestBytes = 256;

}  // namespace

std::string Serialize(const InstancePage& page) {
  v1::ListInstancesResponse rest;
  rest.set_next_page_token(page.next_page_token);
  *rest.mutable_observed_at() = ToTimestamp(page.observed_at);
  size_t size = kRestBytes;
  for (const EncodedInstance& encoded : page.instances) {
    size += encoded.bytes->size() + kFramingBytes;
  }
  std::string bytes;
  bytes.reserve(size);
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  for (const EncodedInstance& encoded : page.instances) {
    out.WriteTag(kInstanceTag);
    out.WriteVarint32(static_cast<uint32_t>(encoded.bytes->size()));
    out.WriteString(*encoded.bytes);
  }
  rest.SerializeToCodedStream(&out);
  out.Trim();
  return bytes;
}

}  // namespace cvm::agent::core
