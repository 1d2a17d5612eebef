# Joins the parts of the description: head.json, paths/*.json, components.json, in that order. Each is a JSON object whose first
# line is "{", whose last is "}", and whose other lines are indented. `version` is given with -v.
/^[{}]$/ { next }

FILENAME != part {
    kind = FILENAME ~ /\/paths\// ? "paths" : FILENAME ~ /components\.json$/ ? "components" : ""
    if (part == "")
        print "{"
    else if (kind == inside) # the same object goes on
        print held ","
    else
        print held (inside == "" ? "," : "\n},")
    if (kind != inside)
        print "\"" kind "\": {"
    part = FILENAME
    inside = kind
    held = ""
}

held != "" { print held }

{
    sub(/^ +/, "")
    gsub(/@VERSION@/, version)
    held = $0
}

END { print held "\n}\n}" }
