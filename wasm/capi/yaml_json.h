// YAML as JSON, for the configurations of the reference.
#ifndef PTTS_CAPI_YAML_JSON_H_
#define PTTS_CAPI_YAML_JSON_H_

#include <string>
#include <string_view>

#include "status.h"

namespace ptts::capi {

// One document whose root is a mapping.  Words without quotes are what PyYAML takes them for; aliases are written out.
// `name` stands before the messages.
[[nodiscard]] ptts_status yaml_to_json(std::string_view yaml, const std::string& name, std::string* json);

}  // namespace ptts::capi

#endif
