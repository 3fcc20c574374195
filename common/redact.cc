// SPDX-License-Identifier: Apache-2.0
#include "common/redact.h"

#include <memory>
#include <string_view>
#include <vector>

#include "cvm/common/v1/options.pb.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/unknown_field_set.h"

namespace cvm {
namespace {

using google::protobuf::Any;
using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

// An Any within an Any escapes protobuf's own limit, since each is parsed by itself.
constexpr int kMaxDepth = 64;
constexpr std::string_view kMark = "\"[redacted]\"";

bool IsSensitive(const FieldDescriptor& field) {
  return field.options().GetExtension(common::v1::sensitive);
}

bool IsMessage(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
}

// Null when `message` is no Any.
const Any* AsAny(const Message& message) {
  return message.GetDescriptor() == Any::descriptor() ? static_cast<const Any*>(&message) : nullptr;
}

// What an Any holds; null when its type is not linked in or its bytes do not parse.
std::unique_ptr<Message> Unpack(const Any& any) {
  const std::string& url = any.type_url();
  const Descriptor* type = DescriptorPool::generated_pool()->FindMessageTypeByName(
      url.substr(url.find_last_of('/') + 1));
  if (type == nullptr) return nullptr;
  const Message* prototype = MessageFactory::generated_factory()->GetPrototype(type);
  if (prototype == nullptr) return nullptr;
  std::unique_ptr<Message> content(prototype->New());
  if (!content->ParsePartialFromString(any.value())) return nullptr;
  return content;
}

void RedactAt(Message& message, int depth);

void RedactAny(Any& any, int depth) {
  const std::unique_ptr<Message> content = depth < kMaxDepth ? Unpack(any) : nullptr;
  if (content == nullptr) {
    any.clear_value();
    return;
  }
  RedactAt(*content, depth + 1);
  any.set_value(content->SerializePartialAsString());
}

void RedactAt(Message& message, int depth) {
  const Reflection& reflection = *message.GetReflection();
  reflection.MutableUnknownFields(&message)->Clear();
  if (message.GetDescriptor() == Any::descriptor()) {
    RedactAny(static_cast<Any&>(message), depth);
    return;
  }
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (IsSensitive(*field) || (IsMessage(*field) && depth >= kMaxDepth)) {
      reflection.ClearField(&message, field);
    } else if (IsMessage(*field) && field->is_repeated()) {
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        RedactAt(*reflection.MutableRepeatedMessage(&message, field, i), depth + 1);
      }
    } else if (IsMessage(*field)) {
      RedactAt(*reflection.MutableMessage(&message, field), depth + 1);
    }
  }
}

class Printer {
 public:
  std::string Print(const Message& message) && {
    PrintFields(message, 0);
    return std::move(text_);
  }

 private:
  void StartWord() {
    if (!text_.empty()) text_ += ' ';
  }

  void PrintFields(const Message& message, int depth) {
    if (const Any* any = AsAny(message)) {
      PrintAny(*any, depth);
      return;
    }
    const Reflection& reflection = *message.GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection.ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      if (IsSensitive(*field)) {
        // Once, whatever it holds: the number of elements is nobody's business either.
        PrintValue(field->name(), kMark);
      } else if (field->is_repeated()) {
        for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
          PrintField(message, reflection, *field, i, depth);
        }
      } else {
        PrintField(message, reflection, *field, -1, depth);
      }
    }
  }

  // `index` is -1 for a field that is not repeated.
  void PrintField(const Message& message, const Reflection& reflection,
                  const FieldDescriptor& field, int index, int depth) {
    if (IsMessage(field)) {
      PrintMessage(field.name(),
                   index < 0 ? reflection.GetMessage(message, &field)
                             : reflection.GetRepeatedMessage(message, &field, index),
                   depth);
      return;
    }
    std::string value;
    TextFormat::PrintFieldValueToString(message, &field, index, &value);
    PrintValue(field.name(), value);
  }

  void PrintAny(const Any& any, int depth) {
    // The URL is the sender's text: an Any that holds something unknown shows nothing of itself.
    const std::unique_ptr<Message> content = Unpack(any);
    if (content != nullptr) {
      PrintMessage("[" + content->GetDescriptor()->full_name() + "]", *content, depth);
    } else if (!any.type_url().empty() || !any.value().empty()) {
      PrintValue("[unknown]", kMark);
    }
  }

  void PrintMessage(std::string_view name, const Message& message, int depth) {
    StartWord();
    text_.append(name).append(" {");
    if (depth < kMaxDepth) {
      PrintFields(message, depth + 1);
    } else {
      text_ += " ...";
    }
    text_ += " }";
  }

  void PrintValue(std::string_view name, std::string_view value) {
    StartWord();
    text_.append(name).append(": ").append(value);
  }

  std::string text_;
};

}  // namespace

void Redact(Message& message) { RedactAt(message, 0); }

std::string RedactedText(const Message& message) { return Printer().Print(message); }

}  // namespace cvm
