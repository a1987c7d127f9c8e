package pack

import "testing"

// The text is what JSON.stringify(value, null, 2) makes of it.
func TestJSONIsThatOfJavaScript(t *testing.T) {
	size := int64(5)
	m := Manifest{
		Format: 1, Name: "a\"\\/\b\f\n\r\t\x01\x7f<>&\u2028é😀", Precision: "q8",
		Config: []byte(`{"b": [1.0, -0.0, 1e21, 1e-7, 0.1, 123456789012, 5e-324, []], "a": {}, "c": null, "B": true}`),
		Files:  []File{{Path: "x", Role: RoleOther, Bytes: &size}}, Cloning: &Cloning{Reason: "none"},
	}
	want := `{
  "format": 1,
  "name": "a\"\\/\b\f\n\r\t\u0001` + "\x7f<>&\u2028é😀" + `",
  "config": {
    "B": true,
    "a": {},
    "b": [
      1,
      0,
      1e+21,
      1e-7,
      0.1,
      123456789012,
      5e-324,
      []
    ],
    "c": null
  },
  "files": [
    {
      "path": "x",
      "role": "other",
      "bytes": 5
    }
  ],
  "precision": "q8",
  "cloning": {
    "available": false,
    "reason": "none"
  }
}
`
	if got, err := m.JSON(); err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}
