# SPDX-License-Identifier: Apache-2.0
#
# Prints each leaf of a JSON document as `path=value`, members by name and elements by index:
#   links.0.ethernet_mac_address=52:54:00:00:00:01
# Enough JSON for the documents of a config drive (escapes in strings other than \/ and \" are left
# as they stand); runs in busybox awk.

function path(    i, text) {
  text = ""
  for (i = 1; i <= depth; i++) text = text (i > 1 ? "." : "") step[i]
  return text
}

# A value is complete: the next element of an array has the next index.
function done_value() { if (kind[depth] == "[") step[depth]++ }

{ text = text $0 "\n" }

END {
  while (match(text, /^[ \t\r\n]*("([^"\\]|\\.)*"|[][{},:]|[^][{},:" \t\r\n]+)/)) {
    token = substr(text, 1, RLENGTH)
    text = substr(text, RLENGTH + 1)
    sub(/^[ \t\r\n]+/, "", token)
    if (token == "{" || token == "[") {
      kind[++depth] = token
      step[depth] = token == "[" ? 0 : ""
      expect_key = token == "{"
    } else if (token == "}" || token == "]") {
      depth--
      done_value()
      expect_key = 0
    } else if (token == ",") {
      expect_key = kind[depth] == "{"
    } else if (token == ":") {
      expect_key = 0
    } else {
      if (token ~ /^"/) {
        token = substr(token, 2, length(token) - 2)
        gsub(/\\\//, "/", token)
        gsub(/\\"/, "\"", token)
      }
      if (expect_key) {
        step[depth] = token
      } else {
        print path() "=" token
        done_value()
      }
    }
  }
}
