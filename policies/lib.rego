# Small words that the rules are written in. Every function here is total: it has an answer for any
# input, because a rule whose message is undefined would be a rule that does not fire.
#
# The rules keep to what OPA and rego-cpp do alike: messages by concat (sprintf of a text puts quotes
# into it in one), no %d of what may be 12.0 (rego-cpp fails), no abs (rego-cpp rounds to six
# decimals), no `.` and no escapes in what patterns match (rego-cpp matches a text as JSON writes it),
# no order of sets, no comparison across types, no decimals where equality matters,
# no function name with different numbers of arguments in two packages (rego-cpp may crash).
package mlifecycle.lib

# The value at a dotted path of object keys, or null where the document ends before it.
at(document, path) := object.get(entries(document), split(path, "."), null)

# The value itself if it is an object, else an empty one.
entries(value) := value if is_object(value)

else := {}

# The value itself if it is an array, else an empty one.
items(value) := value if is_array(value)

else := []

# A setting as a message shows it.
text(value) := concat(", ", [word(item) | some item in value]) if is_array(value)

else := word(value)

word(value) := value if is_string(value)

else := sprintf("%v", [value]) if is_number(value)

else := json.marshal(value) if is_boolean(value)

else := "(not set)"

# Text that says something: it starts with a plain letter, a digit or an underscore.
said(value) if {
	is_string(value)
	regex.match(`^[0-9A-Za-z_]`, value)
}

whole(value) if {
	is_number(value)
	value >= 0
	value <= 1000000000000000
	floor(value) == value
}

date(value) if {
	is_string(value)
	regex.match(`^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$`, value)
}

# ISO dates order as text does.
not_before(later, earlier) if {
	date(later)
	date(earlier)
	later >= earlier
}

# A path or scheme://address of plain segments: nothing encoded, no credentials, no query, and no
# segment that leads elsewhere.
plain_path(value) if {
	is_string(value)
	regex.match(
		`^([a-z][a-z0-9+.-]*://)?[A-Za-z0-9_.+=-]+(:[0-9]{1,5})?(/[A-Za-z0-9_.+=:-]+)*$`,
		value,
	)
	not regex.match(`(^|/)\.\.?(/|$)`, value)
}

# Whether `path` is `root` or lies below it: s3://x/ab does not lie below s3://x/a.
within(path, root) if path == root

within(path, root) if startswith(path, concat("", [trim_right(root, "/"), "/"]))

# Thousandths of a core, rounded: 0.3 has no exact binary form, and engines differ on what is left.
amount("cpu", quantity) := round(to_number(trim_suffix(quantity, "m")) * scale) if {
	is_string(quantity)
	regex.match(`^([1-9][0-9]{0,6}m|(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?)$`, quantity)
	scale := thousandths(quantity)
}

# Bytes.
amount("memory", quantity) := round(to_number(trim_right(quantity, "kKMGTi")) * units[trim_left(quantity, "0123456789.")]) if {
	is_string(quantity)
	regex.match(`^([1-9][0-9]{0,14}|[1-9][0-9]{0,5}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti))$`, quantity)
}

thousandths(quantity) := 1 if endswith(quantity, "m")

else := 1000

units := {
	"": 1,
	"k": 1000,
	"M": 1000000,
	"G": 1000000000,
	"T": 1000000000000,
	"Ki": 1024,
	"Mi": 1048576,
	"Gi": 1073741824,
	"Ti": 1099511627776,
}
