package tokens

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/secret"
)

// The names of the clouds' registries. A cloud's identity goes nowhere else.
var (
	ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$`)
	garHost = regexp.MustCompile(`^(?:[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io)$`)
	acrHost = regexp.MustCompile(`^[a-z0-9-]+\.azurecr\.(?:io|cn|us)$`)
)

// isProvidersHost reports whether host is a registry of the provider.
func isProvidersHost(p credentials.Provider, host string) bool {
	of := map[credentials.Provider]*regexp.Regexp{credentials.ECR: ecrHost, credentials.GAR: garHost, credentials.ACR: acrHost}[p]
	return of != nil && of.MatchString(host)
}

// The user names that the registries want with such passwords.
const (
	garUser = "oauth2accesstoken"
	acrUser = "00000000-0000-0000-0000-000000000000"
)

// defaultLife is for a password whose end nobody names; the shortest known one
// is an hour.
const defaultLife = 30 * time.Minute

// clouds returns what asks the real ones. Finding this server's identity
// (metadata service, mounted token, environment) is the libraries' business, and
// so is the connection for it: the guarded transport refuses such addresses, as
// nothing a Project names may lead there.
func clouds(o Options) map[credentials.Provider]Cloud {
	return map[credentials.Provider]Cloud{
		credentials.ECR: askECR(o.Now, nil),
		credentials.GAR: askGAR(o.Now),
		credentials.ACR: askACR(o, azureIdentity),
	}
}

// askECR signs a request for a registry password with the server's identity or
// the Secret's keys; change is for tests.
func askECR(now func() time.Time, change func(*ecr.Options)) Cloud {
	return func(ctx context.Context, c credentials.Credential, host string) (Password, error) {
		match := ecrHost.FindStringSubmatch(host)
		if match == nil {
			return Password{}, fmt.Errorf("%q names no region", host)
		}
		options := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(match[1]), awsconfig.WithRetryMaxAttempts(2)}
		if c.AWS != nil {
			options = append(options, awsconfig.WithCredentialsProvider(
				awscredentials.NewStaticCredentialsProvider(c.AWS.AccessKeyID, c.AWS.SecretAccessKey.Reveal(), "")))
		}
		config, err := awsconfig.LoadDefaultConfig(ctx, options...)
		if err != nil {
			return Password{}, errors.New("AWS: no usable configuration in the environment of waybilld")
		}
		changes := []func(*ecr.Options){}
		if change != nil {
			changes = append(changes, change)
		}
		answer, err := ecr.NewFromConfig(config, changes...).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
		if err != nil {
			return Password{}, refusedBy("AWS", err)
		}
		if len(answer.AuthorizationData) == 0 || answer.AuthorizationData[0].AuthorizationToken == nil {
			return Password{}, errors.New("AWS gives no token")
		}
		data := answer.AuthorizationData[0]
		raw, err := base64.StdEncoding.DecodeString(*data.AuthorizationToken)
		user, password, found := strings.Cut(string(raw), ":")
		if err != nil || !found {
			return Password{}, errors.New("AWS gives no token")
		}
		p := Password{Username: user, Value: secret.New(password), Expires: now().Add(defaultLife)}
		if data.ExpiresAt != nil {
			p.Expires = *data.ExpiresAt
		}
		return p, nil
	}
}

// askGAR asks for an access token of Google's application default credentials.
func askGAR(now func() time.Time) Cloud {
	return func(ctx context.Context, _ credentials.Credential, _ string) (Password, error) {
		source, err := google.DefaultTokenSource(ctx, "https://www.googleapis.com/auth/cloud-platform")
		if err != nil {
			return Password{}, errors.New("Google: waybilld has no application default credentials")
		}
		var token *oauth2.Token
		if token, err = source.Token(); err != nil {
			return Password{}, refusedBy("Google", err)
		}
		p := Password{Username: garUser, Value: secret.New(token.AccessToken), Expires: token.Expiry}
		if p.Expires.IsZero() {
			p.Expires = now().Add(defaultLife)
		}
		return p, nil
	}
}

// azureIdentity finds this server's identity: in the environment, a mounted
// token, or the machine's. The library's own default would run programs too.
func azureIdentity() (azcore.TokenCredential, error) {
	var all []azcore.TokenCredential
	if c, err := azidentity.NewEnvironmentCredential(nil); err == nil {
		all = append(all, c)
	}
	if c, err := azidentity.NewWorkloadIdentityCredential(nil); err == nil {
		all = append(all, c)
	}
	if c, err := azidentity.NewManagedIdentityCredential(nil); err == nil {
		all = append(all, c)
	}
	return azidentity.NewChainedTokenCredential(all, nil) //nolint:wrapcheck // the caller words it
}

// acrScope is what Azure calls its registries.
const acrScope = "https://containerregistry.azure.net/.default"

// askACR exchanges an Entra token for a refresh token of one registry, which
// serves as its password (Azure/acr, docs/AAD-OAuth.md).
func askACR(o Options, identity func() (azcore.TokenCredential, error)) Cloud {
	s := &Source{opts: o}
	return func(ctx context.Context, c credentials.Credential, host string) (Password, error) {
		credential, err := identity()
		if err != nil {
			return Password{}, errors.New("Azure: waybilld has no identity")
		}
		token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{acrScope}})
		if err != nil {
			return Password{}, refusedBy("Azure", err)
		}
		form := url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {token.Token}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+"/oauth2/exchange", strings.NewReader(form.Encode()))
		if err != nil {
			return Password{}, errors.New("the registry's address is not valid")
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		status, body, err := s.call(req, c)
		if err != nil {
			return Password{}, fmt.Errorf("%s: %w", host, err)
		}
		var answer struct {
			RefreshToken string `json:"refresh_token"`
		}
		if status != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.RefreshToken == "" {
			return Password{}, fmt.Errorf("%w: %s answers %d to the exchange of this server's Azure identity", ErrRefused, host, status)
		}
		expires := o.Now().Add(defaultLife)
		if !token.ExpiresOn.IsZero() && token.ExpiresOn.Before(expires) {
			expires = token.ExpiresOn
		}
		return Password{Username: acrUser, Value: secret.New(answer.RefreshToken), Expires: expires}, nil
	}
}

// refusedBy words a cloud's error. The libraries' texts hold request ids and
// addresses that differ each time, so they are not repeated.
func refusedBy(cloud string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer in time", cloud)
	}
	return fmt.Errorf("%w: %s does not accept the identity, or waybilld has none", ErrRefused, cloud)
}
