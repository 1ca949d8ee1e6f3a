package rest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// invalidRequest turns what the validator says into field errors. Values are
// not repeated: one of them may be a password.
func invalidRequest(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	out := refuse(model.InvalidRequest, "the request is not as the API expects")
	collectInvalid(err, "", &out.errors)
	if len(out.errors) == 1 {
		out.detail = strings.TrimPrefix(strings.Join([]string{out.errors[0].Field, out.errors[0].Detail}, ": "), ": ")
	}
	out.cause = errors.New("the request does not match openapi.yaml")
	return out
}

func collectInvalid(err error, where string, into *[]model.FieldError) {
	switch e := err.(type) { //nolint:errorlint // the validator nests its own types
	case openapi3.MultiError:
		for _, one := range e {
			collectInvalid(one, where, into)
		}
	case *openapi3filter.RequestError:
		if e.Parameter != nil {
			where = e.Parameter.Name
		}
		if e.Err == nil {
			*into = append(*into, model.FieldError{Field: where, Detail: e.Reason})
			return
		}
		if _, known := e.Err.(interface{ JSONPointer() []string }); !known { //nolint:errorlint // see above
			if _, multi := e.Err.(openapi3.MultiError); !multi { //nolint:errorlint // see above
				reason := e.Reason
				if reason == "" {
					reason = "is missing or cannot be read"
				}
				*into = append(*into, model.FieldError{Field: where, Detail: reason})
				return
			}
		}
		collectInvalid(e.Err, where, into)
	case *openapi3.SchemaError:
		var violation *jsonschema.ValidationError
		if errors.As(e, &violation) {
			collectViolations(violation, where, into)
			return
		}
		addInvalid(into, where, e.JSONPointer(), e.Reason)
	default:
		*into = append(*into, model.FieldError{Field: where, Detail: "cannot be read"})
	}
}

// collectViolations adds what is wrong with each value; what wraps others says nothing
// of its own.
func collectViolations(v *jsonschema.ValidationError, where string, into *[]model.FieldError) {
	if len(v.Causes) > 0 {
		for _, cause := range v.Causes {
			collectViolations(cause, where, into)
		}
		return
	}
	switch k := v.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			addInvalid(into, where, append(slices.Clone(v.InstanceLocation), name), "is missing")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			addInvalid(into, where, append(slices.Clone(v.InstanceLocation), name), "is not a field here")
		}
	default:
		addInvalid(into, where, v.InstanceLocation, violationOf(v.ErrorKind))
	}
}

// violationOf says what a value should be.
func violationOf(what jsonschema.ErrorKind) string {
	switch k := what.(type) {
	case *kind.Type:
		return fmt.Sprintf("want %s, not %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.MinLength:
		if k.Got == 0 {
			return "is empty"
		}
		return fmt.Sprintf("has %d characters, want %d or more", k.Got, k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("has %d characters, want %d or fewer", k.Got, k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("has %d entries, want %d or more", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has %d entries, want %d or fewer", k.Got, k.Want)
	case *kind.Minimum:
		return "want " + k.Want.RatString() + " or more"
	case *kind.Maximum:
		return "want " + k.Want.RatString() + " or less"
	case *kind.Pattern:
		return "does not match " + k.Want
	case *kind.Format:
		return "is no " + k.Want
	default: // names what is wanted, and of enumerations and the like no value that came
		return what.LocalizedString(message.NewPrinter(language.English))
	}
}

func addInvalid(into *[]model.FieldError, where string, pointer []string, detail string) {
	fe := model.FieldError{Field: where, Detail: detail}
	if len(pointer) > 0 {
		fe.Pointer = "/" + strings.Join(pointer, "/")
		fe.Field = strings.TrimPrefix(where+"."+strings.Join(pointer, "."), ".")
	}
	*into = append(*into, fe)
}
